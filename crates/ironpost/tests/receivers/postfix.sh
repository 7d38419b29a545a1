# Postfix, its processes as the package sets them up, less what nobody needs here.
cat >/etc/postfix/main.cf <<'END'
compatibility_level = 3.6
queue_directory = /var/spool/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
data_directory = /var/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.test
mydestination = example.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
alias_maps =
alias_database =
biff = no
mailbox_size_limit = 0
home_mailbox = Maildir/
maillog_file = /var/log/mail.log
END
cat >/etc/postfix/master.cf <<'END'
smtp      inet  n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
local     unix  - n n - - local
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
END
cd /var/spool
mkdir -p postfix/pid
for part in active bounce corrupt defer deferred flush hold incoming private saved trace; do
    mkdir -m 700 "postfix/$part"
    chown postfix "postfix/$part"
done
mkdir -m 730 postfix/maildrop
mkdir -m 710 postfix/public
chown postfix:postdrop postfix/maildrop postfix/public
chown postfix /var/lib/postfix
exec /usr/lib/postfix/sbin/master -s
