# OpenSMTPD as it is, with a Maildir for everybody.
cat >/etc/smtpd.conf <<'END'
listen on 127.0.0.1 port 25 hostname mail.example.test
listen on socket
smtp limit max-mails 100000
action "local" maildir "~/Maildir"
match from any for domain "example.test" action "local"
END
mkdir -m 711 /var/spool/smtpd
exec /usr/sbin/smtpd -F
