package v1alpha1

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxStoreMembers bounds spec.members of a Store.
	MaxStoreMembers = 9
	// MinWebhookTimeout and MaxWebhookTimeout bound the timeout of a webhook.
	MinWebhookTimeout = 10 * time.Millisecond
	MaxWebhookTimeout = 30 * time.Second
	// maxURL bounds a URL in bytes.
	maxURL = 2048
)

// ValidateStore validates a Store. Its name is a DNS-1123 label: it is part of its members' identities.
func ValidateStore(store *Store) field.ErrorList {
	errs := validateMeta(store, apivalidation.NameIsDNSLabel)
	spec := field.NewPath("spec")
	errs = append(errs, validateMembers(spec.Child("members"), store.Spec.Members)...)
	bad := validateLabel(spec.Child("primary"), store.Spec.Primary, "hz-a")
	if len(bad) == 0 && len(store.Spec.Members) > 0 && !hasMember(store, store.Spec.Primary) {
		bad = append(bad, field.Invalid(spec.Child("primary"), store.Spec.Primary,
			"must be the center of one of spec.members"))
	}
	errs = append(errs, bad...)
	return append(errs, validateEnum(spec.Child("replication"), store.Spec.Replication,
		ReplicationSynchronous, ReplicationAsynchronous)...)
}

func validateMembers(path *field.Path, members []StoreMember) field.ErrorList {
	if len(members) == 0 {
		return field.ErrorList{field.Required(path, fmt.Sprintf("must have 1 to %d members", MaxStoreMembers))}
	}
	if len(members) > MaxStoreMembers {
		return field.ErrorList{field.TooMany(path, len(members), MaxStoreMembers)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, member := range members {
		path := path.Index(i)
		bad := validateLabel(path.Child("center"), member.Center, "hz-a")
		if len(bad) == 0 && seen[member.Center] {
			bad = field.ErrorList{duplicate(path.Child("center"), member.Center, "a store has one member in a center")}
		}
		seen[member.Center] = true
		errs = append(errs, bad...)
		errs = append(errs, validateLabel(path.Child("cluster"), member.Cluster, "hz-a-vm")...)
		errs = append(errs, validateWebhook(path.Child("webhook"), member.Webhook)...)
	}
	return errs
}

func validateWebhook(path *field.Path, webhook *WebhookDriver) field.ErrorList {
	if webhook == nil {
		return field.ErrorList{field.Required(path, "must say how the member is driven")}
	}
	errs := validateURL(path.Child("url"), webhook.URL)
	if timeout := webhook.Timeout; timeout != nil && (timeout.Duration < MinWebhookTimeout ||
		timeout.Duration > MaxWebhookTimeout) {
		errs = append(errs, field.Invalid(path.Child("timeout"), timeout.Duration.String(),
			fmt.Sprintf("must be %s to %s", MinWebhookTimeout, MaxWebhookTimeout)))
	}
	return errs
}

func validateURL(path *field.Path, value string) field.ErrorList {
	const want = `must be an http or https URL with a host, as in "http://10.0.0.5:8080/fence"`
	if value == "" {
		return field.ErrorList{field.Required(path, want)}
	}
	if len(value) > maxURL {
		return field.ErrorList{field.TooLong(path, value, maxURL)}
	}
	parsed, err := url.Parse(value)
	switch {
	case err != nil && strings.Contains(value, "@"): // it may have a password, which no message repeats
		return field.ErrorList{field.Invalid(path, "<value omitted>", want)}
	case err != nil, parsed.Scheme != "http" && parsed.Scheme != "https", parsed.Hostname() == "":
		return field.ErrorList{field.Invalid(path, value, want)}
	case parsed.User != nil:
		return field.ErrorList{field.Invalid(path, parsed.Redacted(),
			"must not have a user or a password: everyone who may read stores would see it")}
	case parsed.Fragment != "":
		return field.ErrorList{field.Invalid(path, value, "must not have a fragment: it would not be sent")}
	}
	return nil
}

// ValidateStoreUpdate keeps what holds now: the present primary, and everything that a running switchover counts on.
func ValidateStoreUpdate(store, old *Store) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if now := old.Status.Primary; now != "" && hasMember(old, now) && !hasMember(store, now) {
		errs = append(errs, field.Invalid(spec.Child("members"), centers(store), fmt.Sprintf(
			"must keep %q: it is the primary now (status.primary); move the primary by a Switchover first", now)))
	}
	by := old.Status.Switchover
	if by == "" {
		return errs
	}
	why := fmt.Sprintf("switchover %q moves the store now; wait until it has ended, or abort it", by)
	if was := centers(old); !slices.Equal(centers(store), was) {
		errs = append(errs, field.Invalid(spec.Child("members"), centers(store),
			fmt.Sprintf("must stay in %q: %s", was, why)))
	}
	errs = append(errs, immutable(spec.Child("replication"), store.Spec.Replication, old.Spec.Replication, why)...)
	return append(errs, immutable(spec.Child("holdsPermit"), store.Spec.HoldsPermit, old.Spec.HoldsPermit, why)...)
}

func hasMember(store *Store, center string) bool {
	return slices.ContainsFunc(store.Spec.Members, func(m StoreMember) bool { return m.Center == center })
}

// centers are those of a store's members, sorted.
func centers(store *Store) []string {
	var names []string
	for _, member := range store.Spec.Members {
		names = append(names, member.Center)
	}
	slices.Sort(names)
	return names
}

func duplicate(path *field.Path, value any, detail string) *field.Error {
	err := field.Duplicate(path, value)
	err.Detail = detail
	return err
}
