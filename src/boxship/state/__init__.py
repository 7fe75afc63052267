"""The database: the only home of SQL. One module per noun, commented schema. A connection never crosses a fork."""
