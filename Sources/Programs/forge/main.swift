// forge
