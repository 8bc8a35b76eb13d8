"""Plans: models x attacks x data x defences, from one YAML file to one folder; killed at any moment, it goes on."""
