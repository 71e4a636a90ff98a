// forge-verify
