// forged
