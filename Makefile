# One command each; docs/production.md explains them. They need Docker with its compose plugin (2.20 or newer).

COMPOSE ?= docker compose
compose = $(COMPOSE) --env-file env

# The programs run as you are, so that they may read what only you may. As root they run as the images' own user.
uid := $(shell id -u)
ifeq ($(uid),0)
export HOST_CHECKER_USER ?= 65532:65532
else
export HOST_CHECKER_USER ?= $(uid):$(shell id -g)
endif

.PHONY: help config compose-plugin start local stop logs test

help:
	@echo "make config   makes env, hosts.txt, certs/, spool/ and secrets/db_password, where they are missing: edit them"
	@echo "make start    builds and starts producer and consumer"
	@echo "make local    the same with a Kafka and a PostgreSQL of their own, for a try-out"
	@echo "make stop     stops them; what was stored stays"
	@echo "make logs     shows what they say (Ctrl-C ends it)"
	@echo "make test     runs all tests (npm ci comes first)"

config: env hosts.txt secrets/db_password
	@mkdir -p certs spool
	@for d in certs spool; do [ "$(uid)" = 0 ] || [ -O $$d ] || \
	  { echo "$$d/ is another user's: go on with sudo, or: sudo chown -R $(HOST_CHECKER_USER) certs spool secrets"; exit 1; }; done
	@if [ "$(uid)" = 0 ]; then chgrp 65532 certs && chmod 750 certs; else chmod 700 certs; fi
	@if [ "$(uid)" = 0 ]; then chown $(HOST_CHECKER_USER) spool; fi && chmod 700 spool

# No prerequisites: a file that is there stays as it is, however old.
env:
	@umask 077 && cp env.example env
	@echo "env: edit what its first part names: brokers, certificates for mutual TLS, topic and partitions, database"

hosts.txt:
	@umask 077 && cp hosts.txt.example hosts.txt
	@if [ "$(uid)" = 0 ]; then chgrp 65532 hosts.txt && chmod 640 hosts.txt; fi
	@echo "hosts.txt: put your sites there; it may hold passwords, so others cannot read it"

# The folder keeps others out; in the containers, where the file alone appears, users of other numbers must be able to read it.
secrets/db_password:
	@mkdir -p -m 700 secrets
	@echo "made-by-make-config-$$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')" > secrets/db_password
	@chmod 644 secrets/db_password
	@echo "secrets/db_password: holds a random password, for make local; put your database's there"

# Without the plugin docker says only that it does not know a flag.
compose-plugin:
	@$(COMPOSE) version >/dev/null 2>&1 || \
	  { echo "Docker's compose plugin (2.20 or newer) is missing: https://docs.docker.com/compose/install/"; exit 1; }

start: compose-plugin config
	$(compose) up --detach --build

local: compose-plugin config
	$(compose) --profile local up --detach --build

stop:
	$(compose) --profile local down

logs:
	$(compose) --profile local logs --follow --tail 100

test:
	npm ci
	npm test
