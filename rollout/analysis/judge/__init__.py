"""How evidence becomes a verdict; statistics enter here."""
