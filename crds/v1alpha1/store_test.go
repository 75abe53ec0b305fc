package v1alpha1

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// edited is a store with a member in hz-a and one in sh-a, edited.
func edited(edit func(*Store)) *Store {
	s := store("orders", "hz-a", "sh-a")
	edit(s)
	return s
}

func TestValidateStore(t *testing.T) {
	webhook := func(url string, timeout time.Duration) *Store {
		return edited(func(s *Store) {
			s.Spec.Members[1].Webhook = &WebhookDriver{URL: url, Timeout: &metav1.Duration{Duration: timeout}}
		})
	}
	const webhookURL, timeout = "spec.members[1].webhook.url", "spec.members[1].webhook.timeout"
	var ten []string
	for i := range MaxStoreMembers + 1 {
		ten = append(ten, fmt.Sprint("c", i))
	}
	for name, c := range map[string]struct {
		object *Store
		want   []mistake
	}{
		"good":            {store("orders", "hz-a", "sh-a", "sz-a"), nil},
		"one member":      {store("orders", "hz-a"), nil},
		"nine":            {store("orders", ten[:MaxStoreMembers]...), nil},
		"ten":             {store("orders", ten...), []mistake{{"spec.members", 10, "must have at most 9 items"}}},
		"name with a dot": {store("a.b", "hz-a"), []mistake{{"metadata.name", "a.b", "dots"}}},
		"no members": {store("orders"), []mistake{{"spec.members", "", "must have 1 to 9 members"},
			{"spec.primary", "", "must be a DNS-1123 label"}}},
		"center twice": {store("orders", "hz-a", "hz-a"), []mistake{{"spec.members[1].center", "hz-a",
			"a store has one member in a center"}}},
		"bad center": {store("orders", "hz-a", "HZ"), []mistake{{"spec.members[1].center", "HZ", "RFC 1123 label"},
			{"spec.members[1].cluster", "HZ-vm", "RFC 1123 label"}}},
		"no center": {edited(func(s *Store) { s.Spec.Members[1].Center = "" }), []mistake{{"spec.members[1].center", "",
			"must be a DNS-1123 label"}}},
		"no cluster": {edited(func(s *Store) { s.Spec.Members[0].Cluster = "" }), []mistake{{"spec.members[0].cluster", "",
			`must be a DNS-1123 label, as in "hz-a-vm"`}}},
		"foreign primary": {edited(func(s *Store) { s.Spec.Primary = "sz-a" }), []mistake{{"spec.primary", "sz-a",
			"must be the center of one of spec.members"}}},
		"no primary": {edited(func(s *Store) { s.Spec.Primary = "" }), []mistake{{"spec.primary", "", "label"}}},
		"unknown replication": {edited(func(s *Store) { s.Spec.Replication = "Some" }), []mistake{{"spec.replication", "Some",
			`supported values: "Synchronous", "Asynchronous"`}}},
		"no webhook": {edited(func(s *Store) { s.Spec.Members[0].Webhook = nil }), []mistake{{"spec.members[0].webhook", "",
			"must say how the member is driven"}}},
		"https, 10ms": {webhook("https://db.hz-a:8443/x?y=z", MinWebhookTimeout), nil},
		"30s":         {webhook("http://[::1]:80", MaxWebhookTimeout), nil},
		"9ms":         {webhook("http://a", 9*time.Millisecond), []mistake{{timeout, "9ms", "must be 10ms to 30s"}}},
		"31s":         {webhook("http://a", 31*time.Second), []mistake{{timeout, "31s", "must be 10ms to 30s"}}},
		"negative":    {webhook("http://a", -1), []mistake{{timeout, "-1ns", "must be 10ms to 30s"}}},
		"no url":      {webhook("", time.Second), []mistake{{webhookURL, "", "Required value: must be an http"}}},
		"no scheme": {webhook("db:80/x", time.Second), []mistake{
			{webhookURL, "db:80/x", "must be an http or https URL"}}},
		"ftp": {webhook("ftp://a/x", time.Second), []mistake{
			{webhookURL, "ftp://a/x", "must be an http or https"}}},
		"no host":       {webhook("http://:80/x", time.Second), []mistake{{webhookURL, "http://:80/x", "with a host"}}},
		"no url at all": {webhook("http://a b", time.Second), []mistake{{webhookURL, "http://a b", "with a host"}}},
		"fragment": {webhook("http://a/#b", time.Second), []mistake{
			{webhookURL, "http://a/#b", "must not have a fragment"}}},
		"password": {webhook("http://me:secret@a/", time.Second), []mistake{{webhookURL, "http://me:xxxxx@a/",
			"must not have a user or a password"}}},
		"password in no url": {webhook("http://me:secret@a b/", time.Second), []mistake{{webhookURL, "<value omitted>",
			"must be an http or https URL"}}},
		"long url": {webhook("http://a/"+strings.Repeat("x", 2048), time.Second), []mistake{{webhookURL, "<value omitted>",
			"may not be more than 2048 bytes"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Validate(c.object), c.want...) })
	}
}

func TestStoreKeepsWhatHolds(t *testing.T) {
	old := edited(func(s *Store) { s.Status.Primary = "sh-a" })
	moving := edited(func(s *Store) { s.Status.Primary, s.Status.Switchover = "hz-a", "evacuate" })
	for name, c := range map[string]struct {
		object, old *Store
		want        []mistake
	}{
		"the same":               {store("orders", "hz-a", "sh-a"), old, nil},
		"another baseline":       {store("orders", "sh-a", "hz-a"), old, nil},
		"without another member": {store("orders", "sh-a"), old, nil},
		"without the primary": {store("orders", "hz-a", "sz-a"), old, []mistake{{"spec.members", "[hz-a sz-a]",
			`must keep "sh-a": it is the primary now (status.primary)`}}},
		"before it has a primary": {store("orders", "hz-a"), store("orders", "hz-a", "sh-a"), nil},
		"another webhook while it moves": {edited(func(s *Store) { s.Spec.Members[0].Webhook.URL = "http://b" }), moving,
			nil},
		"another member while it moves": {store("orders", "hz-a", "sz-a"), moving, []mistake{{"spec.members",
			"[hz-a sz-a]", `must stay in ["hz-a" "sh-a"]: switchover "evacuate" moves the store now`}}},
		"another promise while it moves": {edited(func(s *Store) {
			s.Spec.HoldsPermit, s.Spec.Replication = true, ReplicationAsynchronous
		}), moving, []mistake{{"spec.replication", "Asynchronous", `must stay "Synchronous": switchover "evacuate"`},
			{"spec.holdsPermit", true, `must stay "false": switchover "evacuate"`}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, ValidateUpdate(c.object, c.old), c.want...) })
	}
}

func TestStoreReferences(t *testing.T) {
	holding := func(s *Store) *Store { s.Spec.HoldsPermit = true; return s }
	elsewhere := store("new", "hz-a", "sh-a")
	elsewhere.Spec.Members[1].Cluster = "hz-b-vm"
	d := unitized()
	d.unitizations["users"].Spec.Guard = false
	d.unitizations["shared"].Spec.Isolation = IsolationKeep
	for name, c := range map[string]struct {
		object *Store
		want   []mistake
	}{
		"good": {store("new", "hz-a", "sh-a"), nil},
		"unknown center": {store("new", "hz-a", "xx"), []mistake{{"spec.members[1].center", "xx",
			"must be the name of a declared Center"}, {"spec.members[1].cluster", "xx-vm", "declared Cluster"}}},
		"arbiter": {store("new", "sz-a"), []mistake{{"spec.members[0].center", "sz-a",
			"role Arbiter: a member of a store must be in a Full center"}, {"spec.members[0].cluster", "sz-a-vm", "Cluster"}}},
		"cluster of another center": {elsewhere, []mistake{{"spec.members[1].cluster", "hz-b-vm",
			`is in center "hz-b": it must be in the member's, "sh-a"`}}},
		"units need its permit": {store("orders-rz01", "hz-a"), []mistake{{"spec.holdsPermit", false,
			`unit "rz01" of unitization "users" has its data here, and isolation Stop without guard needs`}}},
		"it holds one": {holding(store("orders-rz01", "hz-a")), nil},
		"units must go on": {holding(store("catalog-gz", "hz-a")), []mistake{{"spec.holdsPermit", true,
			`unit "gz" of unitization "shared" has its data here, and isolation Keep needs a store without`}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, ValidateReferences(c.object, nil, d), c.want...) })
	}
}
