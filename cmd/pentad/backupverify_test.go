package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// writeBackups writes a backup with one Center in it into a script's folder, and what may become of one.
func writeBackups(dir string) error {
	whole, err := centerBackup()
	if err != nil {
		return err
	}
	altered := bytes.Clone(whole)
	altered[len(altered)/2] ^= 1
	var later bytes.Buffer
	header := backup.Header{Cluster: "c", Server: "hz-a", Level: 1, Taken: time.Unix(1_700_000_000, 0).UTC()}
	if err := backup.Write(&later, header, bytes.NewReader([]byte("pentad intent 9\n"))); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"good.pentad": whole, "half.pentad": whole[:len(whole)/2], "last-byte.pentad": whole[:len(whole)-1],
		"altered.pentad": altered, "longer.pentad": append(bytes.Clone(whole), 0),
		"later-format.pentad": bytes.Replace(whole, []byte("backup 1"), []byte("backup 2"), 1), "later-state.pentad": later.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func centerBackup() ([]byte, error) {
	f, err := intent.New(intent.Config{})
	if err != nil {
		return nil, err
	}
	c := &v1alpha1.Center{ObjectMeta: metav1.ObjectMeta{Name: "hz-a", UID: "6b1f9d1c-0000-4000-8000-000000000002", Generation: 1,
		CreationTimestamp: metav1.Unix(1_700_000_000, 0)}, Spec: v1alpha1.CenterSpec{Region: "hangzhou"}}
	c.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindCenter))
	v1alpha1.Default(c)
	v1alpha1.DeriveStatus(c, f.View().Lookup())
	value, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	token := bytes.Repeat([]byte{7}, 32)
	for i, command := range []*intentpb.Command{
		{Operation: &intentpb.Command_Create{Create: &intentpb.Create{Kind: v1alpha1.KindCenter, Name: "hz-a", Value: value}}},
		{Operation: &intentpb.Command_CreateToken{CreateToken: &intentpb.CreateToken{Token: token, ExpiresAtUnixMs: 1_700_003_600_000, Creator: "ops"}}},
	} {
		command.Id, command.ProposedAtUnixMs = bytes.Repeat([]byte{byte(i + 1)}, intent.IDSize), 1_700_000_000_000
		encoded, err := intent.Encode(command)
		if err != nil {
			return nil, err
		}
		result, err := intent.DecodeResult(f.Apply(uint64(i+2), encoded))
		if err != nil {
			return nil, err
		}
		if err := result.Errors().ToAggregate(); err != nil {
			return nil, err
		}
	}
	picture, about, err := f.Picture()
	if err != nil {
		return nil, err
	}
	defer picture.Release()
	var file bytes.Buffer
	err = backup.Write(&file, backup.Header{Cluster: "6b1f9d1c-0000-4000-8000-000000000001", Server: "hz-a", Level: about.GetLevel(),
		Incarnation: about.GetIncarnation(), Revision: about.GetRevision(), Index: about.GetApplied(), Term: 3,
		Taken: time.Unix(1_700_000_100, 0).UTC()}, picture)
	return file.Bytes(), err
}
