# Exim, with SMTP extensions as they are unless SEVEN_BIT is set: then it does not offer 8BITMIME.
mkdir -p /etc/exim4
cat >/etc/exim4/exim4.conf <<END
primary_hostname = mail.example.test
domainlist local_domains = example.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = 25
disable_ipv6 = true
keep_environment =
rfc1413_query_timeout = 0s
log_file_path = /var/log/exim4/%slog
${SEVEN_BIT:+no_}accept_8bitmime
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
tls_advertise_hosts =
acl_smtp_rcpt = acl_ok
acl_smtp_data = acl_ok
never_users =

begin acl
acl_ok:
  accept

begin routers
user:
  driver = accept
  domains = +local_domains
  check_local_user
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = \$home/Maildir
  maildir_format
END
mkdir /var/log/exim4
mkdir /var/spool/exim4
chown Debian-exim:Debian-exim /var/log/exim4 /var/spool/exim4
exec /usr/sbin/exim4 -bdf -q1m
