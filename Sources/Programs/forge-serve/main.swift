// forge-serve
