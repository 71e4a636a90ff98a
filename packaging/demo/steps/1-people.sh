heading '1. Four daemons, four people'
need up; need init; need login
tell 'One directory holds a whole appliance. Four invented people get an SSH key each; a site file says who they are. The keys of the store are made now; nothing can be read before somebody unseals it.'

mkdir -p "$keys"; chmod 0700 "$keys"
for person in dana rene mila otto; do
    [ -e "$keys/$person" ] || ssh-keygen -q -t ed25519 -N '' -C "$person" -f "$keys/$person"
done
[ -e "$keys/passphrase" ] || { head -c 18 /dev/urandom | base64 >"$keys/passphrase"; chmod 0600 "$keys/passphrase"; }
site() { # site NAME: the site file of one root
    cat <<END
organisation: example-institute
appliance: $1
store:
  passphrase_file: $keys/passphrase
  recovery_file: $keys/$1.recovery
persons:
$(while read -r name role; do printf '  - name: %s\n    roles: [%s]\n    key_files: [%s]\n' "$name" "$role" "$keys/$name.pub"; done <<'PEOPLE'
dana data_scientist
rene release_manager
mila ml_lead
otto security_officer
PEOPLE
)
END
}
site site >.demo/site.yaml
run cat .demo/site.yaml

show forge up --root "$roots/site" "&"; up site; sed 's/^/  /' .demo/site.log
run forge init --file .demo/site.yaml
tell 'The recovery key went to the file that the site file names, and to no log.'
tell 'Nobody can act without a sign-in. The same user of this machine, not signed in, gets health and nothing else:'
refused 4 'signs you in' forge model ls
for person in dana rene mila otto; do as $person run forge login $person --key "$keys/$person"; done
as otto run forge status
as dana run forge whoami
