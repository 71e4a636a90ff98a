import ForgeCore

extension Database {
    /// Lays the tables of docs/formats/catalog.md out, in one transaction.
    func create() throws(Fault) {
        try execute("BEGIN IMMEDIATE")
        do throws(Fault) {
            try execute(Schema.log + Schema.catalog + Schema.guards)
            try execute("PRAGMA application_id=\(Database.applicationID); PRAGMA user_version=\(Database.schemaVersion); COMMIT")
        } catch {
            rollback()
            throw error
        }
    }
}

/// docs/formats/catalog.md as SQL.
enum Schema {
    static let log = """
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE leaf (seq INTEGER PRIMARY KEY CHECK (seq >= 0), bytes BLOB NOT NULL CHECK (length(bytes) BETWEEN 2 AND 8192),
            hash BLOB NOT NULL CHECK (length(hash) = 32)) STRICT;
        CREATE TABLE node (level INTEGER NOT NULL CHECK (level BETWEEN 1 AND 63), idx INTEGER NOT NULL CHECK (idx >= 0),
            hash BLOB NOT NULL CHECK (length(hash) = 32), PRIMARY KEY (level, idx)) STRICT, WITHOUT ROWID;
        CREATE TABLE tree_head (size INTEGER PRIMARY KEY CHECK (size >= 0), root BLOB NOT NULL CHECK (length(root) = 32),
            note TEXT NOT NULL, t INTEGER NOT NULL) STRICT;
        CREATE TABLE cosignature (size INTEGER NOT NULL REFERENCES tree_head (size), name TEXT NOT NULL, line TEXT NOT NULL, t INTEGER NOT NULL,
            PRIMARY KEY (size, name)) STRICT, WITHOUT ROWID;
        CREATE TABLE witness (name TEXT PRIMARY KEY, vkey TEXT NOT NULL UNIQUE, record INTEGER NOT NULL REFERENCES leaf (seq)) STRICT, WITHOUT ROWID;
        CREATE TABLE record_index (seq INTEGER PRIMARY KEY REFERENCES leaf (seq), act TEXT NOT NULL, phase TEXT NOT NULL, dec TEXT, who TEXT NOT NULL,
            obj_type TEXT, obj_id TEXT, req BLOB NOT NULL CHECK (length(req) = 16), unit TEXT NOT NULL, t INTEGER NOT NULL) STRICT;
        CREATE INDEX record_by_req ON record_index (req, act, phase);
        CREATE INDEX record_by_act ON record_index (act, seq);
        CREATE INDEX record_by_who ON record_index (who, seq);
        CREATE INDEX record_by_obj ON record_index (obj_type, obj_id, seq);
        CREATE INDEX record_by_dec ON record_index (dec, seq);
        CREATE INDEX record_intents ON record_index (seq) WHERE phase = 'intent' AND dec = 'allow';
        CREATE TABLE detail (seq INTEGER PRIMARY KEY REFERENCES leaf (seq), salt BLOB NOT NULL CHECK (length(salt) = 16), bytes BLOB NOT NULL) STRICT;

        """

    static let catalog = """
        CREATE TABLE wrapped_key (id BLOB PRIMARY KEY CHECK (length(id) = 16), purpose TEXT NOT NULL, subject BLOB NOT NULL CHECK (length(subject) = 16),
            project BLOB NOT NULL CHECK (length(project) = 16), version INTEGER NOT NULL, wrapped BLOB NOT NULL, created INTEGER NOT NULL, record INTEGER NOT NULL REFERENCES leaf (seq)) STRICT;
        CREATE INDEX wrapped_key_by_subject ON wrapped_key (purpose, subject, version);
        CREATE TABLE blob (id BLOB PRIMARY KEY CHECK (length(id) = 16), key BLOB NOT NULL REFERENCES wrapped_key (id),
            digest BLOB NOT NULL CHECK (length(digest) = 32), bytes INTEGER NOT NULL, stored INTEGER NOT NULL, segments INTEGER NOT NULL,
            created INTEGER NOT NULL, record INTEGER NOT NULL REFERENCES leaf (seq)) STRICT;
        CREATE INDEX blob_by_digest ON blob (digest);
        CREATE TABLE blob_segment (blob BLOB NOT NULL REFERENCES blob (id) ON DELETE CASCADE, idx INTEGER NOT NULL,
            digest BLOB NOT NULL CHECK (length(digest) = 32), bytes INTEGER NOT NULL, stored INTEGER NOT NULL, PRIMARY KEY (blob, idx)) STRICT, WITHOUT ROWID;
        CREATE TABLE dataset (digest BLOB PRIMARY KEY CHECK (length(digest) = 32), name TEXT NOT NULL, documents INTEGER NOT NULL, bytes INTEGER NOT NULL,
            manifest BLOB NOT NULL, created INTEGER NOT NULL, record INTEGER NOT NULL UNIQUE REFERENCES leaf (seq)) STRICT;
        CREATE INDEX dataset_by_name ON dataset (name, record);
        CREATE TABLE model (name TEXT PRIMARY KEY, created INTEGER NOT NULL, record INTEGER NOT NULL REFERENCES leaf (seq)) STRICT, WITHOUT ROWID;
        CREATE TABLE model_version (name TEXT NOT NULL REFERENCES model (name), version INTEGER NOT NULL CHECK (version >= 1),
            digest BLOB NOT NULL CHECK (length(digest) = 32), run TEXT, trained_by TEXT NOT NULL, created INTEGER NOT NULL,
            record INTEGER NOT NULL UNIQUE REFERENCES leaf (seq), PRIMARY KEY (name, version)) STRICT, WITHOUT ROWID;
        CREATE INDEX model_version_by_digest ON model_version (digest);
        CREATE TABLE model_file (name TEXT NOT NULL, version INTEGER NOT NULL, file TEXT NOT NULL, digest BLOB NOT NULL CHECK (length(digest) = 32),
            bytes INTEGER NOT NULL, blob BLOB NOT NULL REFERENCES blob (id), PRIMARY KEY (name, version, file),
            FOREIGN KEY (name, version) REFERENCES model_version (name, version)) STRICT, WITHOUT ROWID;
        CREATE TABLE attestation (name TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('manifest', 'provenance')),
            envelope BLOB NOT NULL, record INTEGER NOT NULL REFERENCES leaf (seq), PRIMARY KEY (name, version, kind),
            FOREIGN KEY (name, version) REFERENCES model_version (name, version)) STRICT, WITHOUT ROWID;
        CREATE TABLE alias (name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL, record INTEGER NOT NULL REFERENCES leaf (seq),
            PRIMARY KEY (name, alias), FOREIGN KEY (name, version) REFERENCES model_version (name, version)) STRICT, WITHOUT ROWID;
        CREATE TABLE alias_move (record INTEGER PRIMARY KEY REFERENCES leaf (seq), name TEXT NOT NULL, alias TEXT NOT NULL, from_version INTEGER,
            to_version INTEGER NOT NULL, approval BLOB, FOREIGN KEY (name, to_version) REFERENCES model_version (name, version)) STRICT;
        CREATE INDEX alias_move_by_name ON alias_move (name, alias, record);
        CREATE TABLE evaluation (id BLOB PRIMARY KEY CHECK (length(id) = 16), name TEXT NOT NULL, version INTEGER NOT NULL, suite TEXT NOT NULL,
            dataset BLOB NOT NULL CHECK (length(dataset) = 32), microbits_per_byte INTEGER NOT NULL, baseline_microbits_per_byte INTEGER,
            report BLOB NOT NULL, created INTEGER NOT NULL, record INTEGER NOT NULL UNIQUE REFERENCES leaf (seq),
            FOREIGN KEY (name, version) REFERENCES model_version (name, version)) STRICT;
        CREATE INDEX evaluation_by_version ON evaluation (name, version, suite, record);
        CREATE TABLE upload (id BLOB PRIMARY KEY CHECK (length(id) = 16), principal TEXT NOT NULL, name TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'committed', 'abandoned')), reserved INTEGER NOT NULL, declared BLOB NOT NULL,
            created INTEGER NOT NULL, expires INTEGER NOT NULL, record INTEGER NOT NULL REFERENCES leaf (seq)) STRICT;
        CREATE TABLE upload_segment (upload BLOB NOT NULL REFERENCES upload (id) ON DELETE CASCADE, file TEXT NOT NULL, idx INTEGER NOT NULL,
            digest BLOB NOT NULL CHECK (length(digest) = 32), bytes INTEGER NOT NULL, stored INTEGER NOT NULL, PRIMARY KEY (upload, file, idx)) STRICT, WITHOUT ROWID;
        CREATE TABLE run_ref (run BLOB PRIMARY KEY CHECK (length(run) = 16), dataset BLOB NOT NULL, recipe BLOB NOT NULL, submitted_by TEXT NOT NULL,
            created INTEGER NOT NULL, record INTEGER NOT NULL REFERENCES leaf (seq)) STRICT;
        CREATE TABLE receipt (id BLOB PRIMARY KEY CHECK (length(id) = 16), model TEXT NOT NULL, app TEXT NOT NULL, created INTEGER NOT NULL,
            record INTEGER NOT NULL UNIQUE REFERENCES leaf (seq)) STRICT;

        """

    /// A guard against our own mistakes, not against whoever owns the file: that is what the log's proofs are for.
    static let guards: String = ["leaf", "node", "tree_head", "dataset", "model_version", "model_file", "attestation", "alias_move", "evaluation", "receipt"].map { table in
        ["UPDATE", "DELETE"].map { verb in
            "CREATE TRIGGER \(table)_no_\(verb.lowercased()) BEFORE \(verb) ON \(table) BEGIN SELECT RAISE(ABORT, '\(table) rows are never changed or removed'); END;\n"
        }.joined()
    }.joined()
}
