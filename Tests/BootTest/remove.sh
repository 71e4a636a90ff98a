# remove.sh: a second install changes nothing; removal keeps what cannot be made again; only a stated wish deletes it.

check 'installing again is a no-op' inside apt-get -q install -y --reinstall forge
check 'the daemons are up after it' wait_for 20 inside systemctl is-active --quiet forge-admin forge-registry forged forge-serve
before=$(inside find /var/lib/forge -type f | sort)
check 'the package can be removed' inside apt-get -q remove -y forge
equal 'no daemon runs after removal' '' "$(inside pgrep -a 'forge' || true)"
equal 'no socket is left after removal' '' "$(inside find /run/forge -type s 2>/dev/null)"
check 'the package can be purged' inside apt-get -q purge -y forge
equal 'purge keeps models, keys and the log' "$before" "$(inside find /var/lib/forge -type f | sort)"
check 'it can be installed over what was kept' inside apt-get -q install -y --no-install-recommends forge
inside sh -c 'echo "forge forge/purge-data boolean true" | debconf-set-selections'
check 'purge with forge/purge-data set succeeds' inside apt-get -q purge -y forge
check 'and deletes the data' inside sh -c '! test -e /var/lib/forge'
