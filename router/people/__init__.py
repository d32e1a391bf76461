"""People and what they hold: sessions of wallets, teams, rate limits, sealed keys."""

from router.people import models as models  # registers the tables that open_database creates
