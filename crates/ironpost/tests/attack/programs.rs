//! Programs of mailers: where they stand, and what they can do to the server.

use crate::town::{BOB, Town, is_root};

/// A root folder of root's own, with the system's programs in it, and `out`.
const ROOT: &str = "mount -t tmpfs -o mode=755 none /mnt && cd /mnt && mkdir usr out && chmod 777 out \
    && mount --bind /usr usr && mount --bind DIR/out out && ln -s usr/bin bin && ln -s usr/lib lib \
    && ln -s usr/lib64 lib64 && cp DIR/program program && cd /";

#[test]
fn a_program_with_another_root_sees_nothing_else() {
    if !is_root() {
        return;
    }
    let local = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, /=/mnt, A=sh /program $u\n";
    let town = Town::prepared(local, "ls / > /out/root; id -u > /out/who; cat > /out/done\n", ROOT);
    town.send(BOB);
    town.until("the program", || town.out("done").ends_with("hello\n"));
    assert_eq!(town.out("root"), "bin\nlib\nlib64\nout\nprogram\nusr\n");
    assert_eq!(town.out("who"), "58102\n");
}

#[test]
fn mail_waits_where_the_root_of_a_program_is_not_roots_alone_or_not_there() {
    for folder in ["DIR/out", "/no-such-folder"] {
        let local = format!("Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, /={folder}, A=sh /program $u\n");
        let town = Town::with(&local, "");
        town.send(if is_root() { BOB } else { "root" });
        town.until("the reason", || town.log().contains("stat=Deferred: /="));
    }
}

#[test]
fn a_program_is_as_nice_as_its_mailer_says() {
    if !is_root() {
        return;
    }
    let local = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, N=7, A=sh DIR/program $u\n";
    let town = Town::with(local, "cut -d ' ' -f 19 /proc/self/stat > DIR/out/nice\n");
    let own = rustix::process::getpriority_process(None).unwrap();
    town.send(BOB);
    town.until("the program", || !town.out("nice").is_empty());
    assert_eq!(town.out("nice").trim(), (own + 7).to_string());
}
