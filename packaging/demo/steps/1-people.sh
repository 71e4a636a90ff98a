heading '1. Four daemons, four people'
need up; need init; need login
tell 'One directory holds a whole appliance. Four invented people get an SSH key each; a site file says who they are. The keys of the store are made now; nothing can be read before somebody unseals it.'

people
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
