package main

import (
	"errors"
	"fmt"
	"net/url"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	sqliteschema "go.temporal.io/server/schema/sqlite"
)

// openStore returns where the data are, with the schema and the namespaces in place before any
// client can ask for them.
func openStore(o *options) (*config.SQL, error) {
	store := inMemory()
	if o.dbFile != "" {
		store = inFile(o.dbFile)
		if err := createSchema(store); err != nil {
			return nil, fmt.Errorf("--db-filename %s: %w (is another server using it?)", o.dbFile, err)
		}
	}
	for _, name := range o.allNamespaces() {
		ns, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, o.attributes)
		if err != nil {
			return nil, fmt.Errorf("--search-attribute: %w", err)
		}
		if err := sqliteschema.CreateNamespaces(store, ns); err != nil {
			return nil, err
		}
	}
	return store, nil
}

// inMemory gives a database to all who open it in this process, with its schema.
func inMemory() *config.SQL {
	return &config.SQL{
		PluginName: sqlite.PluginName, DatabaseName: "devserver",
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
	}
}

// inFile survives a kill: a write-ahead log may lose the last commits with the machine, never
// with the process. The lock keeps a second server away, which would take over the first one's
// work unseen; it waits three seconds for one that is stopping.
func inFile(file string) *config.SQL {
	return &config.SQL{
		PluginName: sqlite.PluginName, DatabaseName: (&url.URL{Path: file}).EscapedPath(),
		ConnectAttributes: map[string]string{
			"mode": "rwc", "journal_mode": "wal", "synchronous": "1",
			"locking_mode": "exclusive", "busy_timeout": "3000",
		},
	}
}

// createSchema makes the tables of a new file, all or none, so that a kill leaves no half of them.
func createSchema(store *config.SQL) (err error) {
	db, err := sql.NewSQLAdminDB(sqlplugin.DbKindUnknown, store, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Exec("BEGIN IMMEDIATE"); err != nil { // the pool has one connection
		return err
	}
	tables, err := db.ListTables("")
	if err == nil && len(tables) == 0 {
		err = sqliteschema.SetupSchemaOnDB(db)
	}
	if err != nil {
		return errors.Join(err, db.Exec("ROLLBACK"))
	}
	return db.Exec("COMMIT")
}
