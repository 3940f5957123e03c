#!/bin/sh
# Debian packages that the tests use: PostgreSQL 15 with its tools (pg_verifybackup, pg_amcheck).
set -eu

packages=""
[ -x /usr/lib/postgresql/15/bin/pg_verifybackup ] || packages="$packages postgresql-15"
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "These Debian packages are needed for the tests:$packages" >&2
  echo "Install them as root: apt-get install$packages" >&2
  exit 1
fi
echo "Installing Debian packages:$packages …"
export DEBIAN_FRONTEND=noninteractive
# A cluster of its own is not wanted: the tests start their own servers.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $packages >/dev/null
