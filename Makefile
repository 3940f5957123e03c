# make demo   the whole story on this machine, in about a minute
# make test   every test; installs what it needs
# make bench  Cairn beside its peers (npm run bench:peers; the options are in bench/peers.ts)

NODE := node_modules/node/bin/node

.PHONY: demo test bench setup setup-test check clean

demo: setup
	@$(NODE) scripts/demo.ts

test: setup setup-test
	@$(NODE) scripts/test.ts

check: setup
	@npm run --silent check

bench: setup
	@npm run --silent bench:peers

setup: node_modules/.cairn-setup

# `npm ci` runs the install scripts that package.json allows: they unpack Node 24 and the PostgreSQL servers.
node_modules/.cairn-setup: package.json package-lock.json
	@sh scripts/setup.sh
	@touch $@

setup-test:
	@sh scripts/setup-test.sh

clean:
	rm -rf node_modules
