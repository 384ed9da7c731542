"""Login: who is meant, may they, and does somebody who knows say yes."""
