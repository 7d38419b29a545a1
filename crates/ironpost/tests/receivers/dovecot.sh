# Dovecot's LMTP server.
cat >/etc/dovecot/dovecot.conf <<'END'
protocols = lmtp
base_dir = /run/dovecot
log_path = /dev/stderr
ssl = no
mail_location = maildir:~/Maildir
auth_username_format = %Ln
first_valid_uid = 2000
postmaster_address = postmaster@example.test
hostname = mail.example.test
userdb {
  driver = passwd
}
passdb {
  driver = static
  args = nopassword=y
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = 25
  }
}
END
exec /usr/sbin/dovecot -F
