#!/bin/sh
# Installs the npm packages. Needs Node 20 or newer with npm; Node 24 itself is one of the packages.
set -eu
cd "$(dirname -- "$0")/.."

if ! command -v npm >/dev/null 2>&1 || ! command -v node >/dev/null 2>&1; then
  echo "Node 20 or newer with npm is needed to install Cairn." >&2
  echo "On Debian: apt-get install nodejs npm (or a newer Node from nodejs.org)" >&2
  exit 1
fi
major=$(node -p 'process.versions.node.split(".")[0]')
if [ "$major" -lt 20 ]; then
  echo "Node $(node --version) is too old: Node 20 or newer is needed to install Cairn." >&2
  exit 1
fi

echo "Installing npm packages …"
npm ci --no-audit --no-fund --loglevel=error
# npm versions that do not know allowScripts run them anyway; versions that skip them are caught here.
if [ ! -x node_modules/node/bin/node ]; then
  npm rebuild --loglevel=error
fi
node_modules/node/bin/node --version >/dev/null
