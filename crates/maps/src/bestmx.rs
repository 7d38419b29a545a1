//! Class `bestmx` and `/mx`: the mail exchangers of a host (RFC 5321, 5.1; RFC 7505), as sendmail's getmxrr finds them.

use policy_cf::{Answer, Exchanger};

use crate::dns::{Data, Failure, Kind, Resolver};

const NO_HOST: u8 = 68;
const TEMPORARY: u8 = 75;
/// How many exchangers are kept (sendmail's MAXMXHOSTS).
const EXCHANGERS_MAX: usize = 100;

/// The exchangers by preference, or a status. A host without any stands for itself; a single empty name says that
/// it takes no mail.
pub(crate) fn exchangers(resolver: &Resolver, host: &[u8]) -> (Vec<Exchanger>, u8) {
    if host.starts_with(b"[") {
        return (vec![Exchanger { name: host.to_vec(), preference: 0 }], 0);
    }
    let itself =
        || Exchanger { name: host.strip_suffix(b".").unwrap_or(host).to_vec(), preference: 0 };
    match resolver.search_for(host, Kind::MX) {
        Ok(answer) => {
            let is_renamed = answer.records.iter().any(|record| record.kind == Kind::CNAME);
            let mut list: Vec<_> = answer
                .records
                .into_iter()
                .filter_map(|record| match record.data {
                    Data::Exchanger(preference, name) => Some(Exchanger { name, preference }),
                    Data::Name(_)
                    | Data::Service(_)
                    | Data::Text(_)
                    | Data::Address(_)
                    | Data::Other => None,
                })
                .take(EXCHANGERS_MAX)
                .collect();
            list.sort_by_key(|exchanger| exchanger.preference);
            if list.is_empty() && !is_renamed {
                list.push(itself());
            }
            (list, 0)
        }
        Err(Failure::NoData) => (vec![itself()], 0),
        Err(Failure::NoName) => (Vec::new(), NO_HOST),
        Err(Failure::NotNow) => (Vec::new(), TEMPORARY),
    }
}

/// The best exchanger (a host without any has none here), or all with `separator` between.
pub(crate) fn lookup(resolver: &Resolver, key: &[u8], separator: Option<u8>) -> Answer {
    if key.starts_with(b"[") {
        return Answer::Found(key.to_vec());
    }
    if resolver.search_for(key, Kind::MX) == Err(Failure::NoData) {
        return Answer::NotFound(0);
    }
    let (list, status) = exchangers(resolver, key);
    if status == TEMPORARY {
        return Answer::TempFail(TEMPORARY);
    }
    let names: Vec<Vec<u8>> =
        list.into_iter().map(|exchanger| [&*exchanger.name, b"."].concat()).collect();
    match (names.first(), separator) {
        (None, _) => Answer::NotFound(status),
        (Some(first), None) => Answer::Found(first.clone()),
        (Some(_), Some(separator)) => Answer::Found(names.join(&separator)),
    }
}
