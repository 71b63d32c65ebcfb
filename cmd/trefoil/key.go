package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/server"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make a key and print it; it is shown only once."`
	List   keyListCmd   `cmd:"" help:"List the keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a key."`
}

type keyCreateCmd struct {
	dataFlags `embed:""`
	Name      string `help:"What the key is for." default:"unnamed"`
}

// Run makes a key, also while a server has the data open.
func (c *keyCreateCmd) Run(ctx context.Context) error {
	return withMeta(ctx, c.dataFlags, func(db *meta.DB) error {
		k, secret, err := db.CreateKey(ctx, server.Environment, c.Name)
		if err != nil {
			return fmt.Errorf("make a key: %w", err)
		}
		aws, _, err := db.AWSSecret(ctx, k.AccessKeyID)
		if err != nil {
			return fmt.Errorf("make a key: %w", err)
		}
		fmt.Printf("id                     %s\nHONEYCOMB_API_KEY      %s\nAWS_ACCESS_KEY_ID      %s\nAWS_SECRET_ACCESS_KEY  %s\n", k.ID, secret, k.AccessKeyID, aws)
		return nil
	})
}

type keyListCmd struct {
	dataFlags `embed:""`
}

// Run lists the keys.
func (c *keyListCmd) Run(ctx context.Context) error {
	return withMeta(ctx, c.dataFlags, func(db *meta.DB) error {
		keys, err := db.Keys(ctx)
		if err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tNAME\tENVIRONMENT\tAWS ACCESS KEY ID\tCREATED\tSTATE")
		for _, k := range keys {
			state := "valid"
			if !k.Revoked.IsZero() {
				state = "revoked " + k.Revoked.Format("2006-01-02 15:04")
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Environment, k.AccessKeyID, k.Created.Format("2006-01-02 15:04"), state)
		}
		return w.Flush()
	})
}

type keyRevokeCmd struct {
	dataFlags `embed:""`
	ID        string `arg:"" help:"Id of the key, as list shows it."`
}

// Run revokes a key.
func (c *keyRevokeCmd) Run(ctx context.Context) error {
	return withMeta(ctx, c.dataFlags, func(db *meta.DB) error {
		err := db.RevokeKey(ctx, c.ID)
		if errors.Is(err, meta.ErrNotFound) {
			return fmt.Errorf("there is no valid key %s", c.ID)
		}
		return err
	})
}

func withMeta(ctx context.Context, d dataFlags, f func(*meta.DB) error) error {
	db, err := meta.Open(ctx, d.metaFile())
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}
