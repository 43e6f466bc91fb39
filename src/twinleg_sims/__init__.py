"""The venues' server side: a seeded market world behind each venue's real wire protocol. Never imports twinleg."""
