// forge-registry
