//! How sendmail's own entries in a directory are searched where a configuration says no more than `LDAP` (cf/README, "Using
//! LDAP"): those of this host or of the cluster that `${sendmailMTACluster}` names.

use crate::machine::Machine;
use alloc::vec::Vec;

/// The flags for the words of a class; the key is its name.
pub(super) fn of_classes(machine: &mut Machine<'_>) -> Vec<u8> {
    let owner = owner(machine);
    [
        b"-k (&(objectClass=sendmailMTAClass)(sendmailMTAClassName=%0)".as_slice(),
        &owner,
        b") -v sendmailMTAClassValue,sendmailMTAClassSearch:FILTER:sendmailMTAClass,",
        b"sendmailMTAClassURL:URL:sendmailMTAClass",
    ]
    .concat()
}

/// The flags for aliases; the key is the name.
pub(super) fn of_aliases(machine: &mut Machine<'_>) -> Vec<u8> {
    let owner = owner(machine);
    [
        b"-k (&(objectClass=sendmailMTAAliasObject)(sendmailMTAAliasGrouping=aliases)".as_slice(),
        &owner,
        b"(sendmailMTAKey=%0)) -v sendmailMTAAliasValue,",
        b"sendmailMTAAliasSearch:FILTER:sendmailMTAAliasObject,",
        b"sendmailMTAAliasURL:URL:sendmailMTAAliasObject",
    ]
    .concat()
}

fn owner(machine: &mut Machine<'_>) -> Vec<u8> {
    let value = |name: &[u8]| machine.config.macros.value_named(name).unwrap_or_default().to_vec();
    let (cluster, host) = (value(b"sendmailMTACluster"), value(b"j"));
    let (cluster, host) = (machine.expand(&cluster), machine.expand(&host));
    [b"(|(sendmailMTACluster=".as_slice(), &cluster, b")(sendmailMTAHost=", &host, b"))"].concat()
}
