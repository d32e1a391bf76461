"""Stand-ins for companies: servers on loopback that speak each company's documented format and check it."""
