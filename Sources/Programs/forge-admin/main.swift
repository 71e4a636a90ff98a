// forge-admin
