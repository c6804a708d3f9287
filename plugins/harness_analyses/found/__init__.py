"""The league: where methods rank what was planted in models whose change is known."""
