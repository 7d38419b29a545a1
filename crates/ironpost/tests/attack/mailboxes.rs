//! The mailboxes of others, `0660 user:mail` as Debian's policy has them (11.6).

use crate::town::{BOB, LOCAL, MALLORY, Town, is_root};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// All that a program may try on another's mailbox; what it read is in `out`.
const THEFT: &str = "
cat /var/mail/bob > DIR/out/read 2> /dev/null
ln /var/mail/bob /var/mail/second-name && cat /var/mail/second-name > DIR/out/linked
ln /var/mail/bob DIR/out/third-name && cat DIR/out/third-name > DIR/out/linked
(: > /var/mail/bob) 2> /dev/null
(echo forged >> /var/mail/bob) 2> /dev/null
mv /var/mail/bob /var/mail/gone; rm -f /var/mail/bob; mv DIR/program /var/mail/bob
dd if=/var/mail/bob of=DIR/out/copied 2> /dev/null
cat /var/spool/mail/bob > DIR/out/read-the-other-way 2> /dev/null
ls -l /proc/self/root/var/mail > /dev/null; cat /proc/self/root/var/mail/bob > DIR/out/by-proc
for process in /proc/[0-9]*; do
    cat $process/root/var/mail/bob $process/cwd/var/mail/bob $process/fd/*/bob >> DIR/out/by-others 2> /dev/null
    for folder in $process/fd/*; do ln $folder/bob $folder/mallory2; rm -f $folder/bob; done 2> /dev/null
done
cat < /var/mail/.. > /dev/null; umount /var/mail 2> /dev/null; cat /var/mail/bob > DIR/out/uncovered 2> /dev/null
for family in UNIX INET; do
    perl -MSocket -e \"socket(S, AF_$family, SOCK_STREAM, 0) or exit 1\" && echo $family >> DIR/out/sockets
done
id -u > DIR/out/done
";

const SECRET: &str = "From x\n\nthe secret\n\n";

/// Nothing of the secret is anywhere, and the mailbox is whole.
fn nothing_was_stolen(town: &Town) {
    for entry in fs::read_dir(town.path().join("out")).unwrap() {
        let path = entry.unwrap().path();
        // A second name is none that he could read by.
        let is_a_link = fs::metadata(&path).unwrap().nlink() > 1;
        let text = fs::read_to_string(&path).unwrap();
        assert!(is_a_link || !text.contains("secret"), "{}", path.display());
    }
    let mailbox = fs::read_to_string(town.path().join("mail").join(BOB)).unwrap();
    assert_eq!(mailbox, SECRET);
}

#[test]
fn a_program_of_a_forward_file_cannot_read_the_mailboxes_of_others() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, "cat > /dev/null\n");
    town.mailbox(BOB, SECRET);
    fs::write(town.path().join("theft"), THEFT.replace("DIR", town.path().to_str().unwrap()))
        .unwrap();
    town.forward(MALLORY, "\"|id -Gn > DIR/out/groups; umask > DIR/out/umask; sh DIR/theft\"\n");
    town.send(MALLORY);
    town.until("the program", || !town.out("done").is_empty());
    nothing_was_stolen(&town);
    assert!(!town.out("groups").split_whitespace().any(|group| group == "mail"));
    // What submits mail needs a socket of this machine.
    assert_eq!((town.out("umask").trim(), &*town.out("sockets")), ("0022", "UNIX\n"));
}

#[test]
fn an_agent_with_the_group_of_the_spool_reads_its_own_mailbox_only() {
    if !is_root() {
        return;
    }
    let town = Town::with(
        LOCAL,
        &format!(
            "
id -gn > DIR/out/group; umask > DIR/out/umask
(: > /var/mail/$1.lock) 2> /dev/null && echo made > DIR/out/lock
cat >> /var/mail/$1; cat /var/mail/$1 > DIR/out/own
{THEFT}"
        ),
    );
    town.mailbox(BOB, SECRET);
    town.send(MALLORY);
    town.until("the agent", || !town.out("done").is_empty());
    nothing_was_stolen(&town);
    let said = ["group", "umask", "lock"].map(|name| town.out(name).trim().to_owned());
    assert_eq!(said, ["mail", "0007", "made"]);
    assert_eq!(
        town.out("sockets"),
        "UNIX\n",
        "what asks other programs of this machine about users"
    );
    assert!(town.out("own").ends_with("\nhello\n"), "{}", town.out("own"));
    let own = fs::metadata(town.path().join("mail").join(MALLORY)).unwrap();
    assert_eq!((own.permissions().mode() & 0o7777, own.gid()), (0o660, 8));
    town.until("no lock", || !town.path().join("mail/mallory.lock").exists());
}

#[test]
fn a_mailbox_that_was_put_in_the_place_of_ones_own_is_not_given() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, "cat /var/mail/mallory > DIR/out/own; id -u > DIR/out/done\n");
    town.mailbox(BOB, SECRET);
    // As an agent can do in a folder that its group may write.
    fs::rename(town.path().join("mail").join(BOB), town.path().join("mail").join(MALLORY)).unwrap();
    town.send(MALLORY);
    town.until("the agent", || !town.out("done").is_empty());
    assert_eq!(town.out("own"), "");
}

#[test]
fn what_one_users_agent_made_the_next_ones_may_append_to() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, "id -un >> DIR/out/record || exit 75\n");
    for user in [MALLORY, BOB] {
        town.send(user);
        town.until("the agent", || town.out("record").contains(user));
    }
    assert_eq!(town.out("record"), format!("{MALLORY}\n{BOB}\n"));
}

#[test]
fn mail_local_delivers_as_the_agent_of_a_user_by_its_argument_and_by_lmtp() {
    if !is_root() {
        return;
    }
    for (flags, arguments) in [("lsDFMAw5:/|@qSPn", "-d $u"), ("lsDFMAw5:/|@qSXmnz", "-l")] {
        let agent = env!("CARGO_BIN_EXE_ironpost");
        let line = format!("Mlocal, P={agent}, F={flags}, A=mail.local {arguments}\n");
        let town = Town::with(&line, "");
        town.mailbox(BOB, SECRET);
        for user in [BOB, MALLORY] {
            town.send(user);
        }
        let read = |user: &str| {
            fs::read_to_string(town.path().join("mail").join(user)).unwrap_or_default()
        };
        for user in [BOB, MALLORY] {
            town.until("the letter", || read(user).ends_with("\nhello\n\n"));
        }
        assert!(read(BOB).starts_with(SECRET));
        town.until("no lock", || !town.path().join("mail/bob.lock").exists());
        let facts = fs::metadata(town.path().join("mail").join(MALLORY)).unwrap();
        assert_eq!(facts.mode() & 0o007, 0);
    }
}

#[test]
fn roots_mail_goes_into_its_mailbox_and_no_program_runs_as_root() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, "id -un >> DIR/out/ran\n");
    let mailbox = town.path().join("mail/root");
    fs::write(&mailbox, "From x\n\nold\n\n").unwrap();
    fs::set_permissions(&mailbox, fs::Permissions::from_mode(0o600)).unwrap();
    town.send("root");
    let text = || fs::read_to_string(&mailbox).unwrap();
    town.until("the letter", || text().ends_with("\nhello\n\n"));
    assert!(text().starts_with("From x\n\nold\n\nFrom sender@remote.test "), "{}", text());
    assert!(!text().contains("Delivered-To:"), "{}", text());
    // Another user of the system gets mail by the program, as himself.
    town.send("games");
    town.until("the program", || town.out("ran").contains("games"));
    assert_eq!(town.out("ran"), "games\n");
}
