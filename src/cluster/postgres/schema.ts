/** The tables whose loss would be the loss of revocations. */
export const DURABLE_TABLES = ['heads', 'entries']
export const TABLES = [...DURABLE_TABLES, 'reports', 'places', 'tickets']

/**
 * All that the engine needs in a database; changes nothing where it is there already. Reports, places and tickets are gone
 * after a crash, and on a standby: none of them may ever come back.
 */
export function schemaSql(schema: string): string {
  return `DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '${schema}') THEN CREATE SCHEMA "${schema}"; END IF;
END $$;
CREATE TABLE IF NOT EXISTS "${schema}".heads (
  prefix text COLLATE "C" PRIMARY KEY,
  generation text COLLATE "C" NOT NULL,
  timeline text COLLATE "C" NOT NULL,
  last bigint NOT NULL,
  floor bigint NOT NULL,
  begun_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS "${schema}".entries (
  prefix text COLLATE "C",
  generation text COLLATE "C",
  seq bigint,
  data bytea NOT NULL,
  PRIMARY KEY (prefix, generation, seq)
);
CREATE UNLOGGED TABLE IF NOT EXISTS "${schema}".reports (
  prefix text COLLATE "C",
  node text COLLATE "C",
  data bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (prefix, node)
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE IF NOT EXISTS "${schema}".places (
  prefix text COLLATE "C",
  key text COLLATE "C",
  id text COLLATE "C",
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (prefix, key, id)
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE IF NOT EXISTS "${schema}".tickets (
  prefix text COLLATE "C",
  id text COLLATE "C",
  owner text COLLATE "C" NOT NULL,
  data bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (prefix, id)
);
CREATE INDEX IF NOT EXISTS tickets_of_owner ON "${schema}".tickets (prefix, owner);
CREATE INDEX IF NOT EXISTS tickets_by_expiry ON "${schema}".tickets (expires_at);
`
}

/** Any one number will do, as long as it is the same for all: two that create at once would fail one another. */
const CREATING = '4857293010166'

/** The same, for many nodes that start at a time, and without a word about what is there already. */
export function createSql(schema: string): string {
  return `SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock(${CREATING}); ${schemaSql(schema)}`
}
