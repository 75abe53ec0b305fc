package guard

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/unitization/route"
)

// Domain is that of the ErrorInfo in refusals.
const Domain = "pentad.dev"

// Reason is why a guard refuses, as in ErrorInfo.
type Reason string

// The reasons.
const (
	// Frozen: the shard is moving; soon its owner takes writes again.
	Frozen Reason = "FROZEN"
	// WrongCell: another cell takes the shard's writes.
	WrongCell Reason = "WRONG_CELL"
	// NoPermit: this guard does not know that its cell still takes writes.
	NoPermit Reason = "NO_PERMIT"
	// BadShard: the request does not bear exactly one canonical shard.
	BadShard Reason = "BAD_SHARD"
)

// Refusal is the error of a refused request: FAILED_PRECONDITION with an ErrorInfo. It is never UNAVAILABLE, which
// callers and proxies retry by themselves.
type Refusal struct {
	Reason      Reason
	Unitization string
	// Shard is -1 when the request bears none.
	Shard int
	// Since is that of the shard's range; 0: not known.
	Since uint64
	// Unit owns the shard and Cell takes its writes, where known.
	Unit, Cell string
	// Detail is for people.
	Detail string
}

// Refusal is the decision's error; nil when the request passes.
func (d *Decision) Refusal() *Refusal {
	if d.Reason == "" {
		return nil
	}
	return &Refusal{d.Reason, d.Unitization, d.Shard, d.Since, d.Unit, d.Cell, d.detail}
}

func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "refused: %s", r.Reason)
	if r.Unitization != "" && r.Shard >= 0 {
		fmt.Fprintf(&b, ": shard %d of unitization %s", r.Shard, r.Unitization)
	}
	if r.Unit != "" {
		fmt.Fprintf(&b, ", unit %s since %d", r.Unit, r.Since)
	}
	if r.Cell != "" {
		fmt.Fprintf(&b, ", cell %s", r.Cell)
	}
	if r.Detail != "" {
		fmt.Fprintf(&b, ": %s", r.Detail)
	}
	return b.String()
}

// GRPCStatus is for package status.
func (r *Refusal) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{Reason: string(r.Reason), Domain: Domain, Metadata: map[string]string{}}
	set := func(name, value string, known bool) {
		if known {
			info.Metadata[name] = value
		}
	}
	set("unitization", r.Unitization, r.Unitization != "")
	set("shard", strconv.Itoa(r.Shard), r.Unitization != "" && r.Shard >= 0)
	set("since", strconv.FormatUint(r.Since, 10), r.Since > 0)
	set("unit", r.Unit, r.Unit != "")
	set("cell", r.Cell, r.Cell != "")
	st := status.New(codes.FailedPrecondition, r.Error())
	if with, err := st.WithDetails(info); err == nil {
		return with
	}
	return st
}

// RefusalOf finds a guard's refusal in the error of a call; false when the error is none.
func RefusalOf(err error) (*Refusal, bool) {
	var own *Refusal
	if errors.As(err, &own) {
		return own, true
	}
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.FailedPrecondition {
		return nil, false
	}
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return refusalOf(info), true
		}
	}
	return nil, false
}

func refusalOf(info *errdetails.ErrorInfo) *Refusal {
	m := info.GetMetadata()
	r := &Refusal{
		Reason: Reason(info.GetReason()), Unitization: m["unitization"], Shard: -1, Unit: m["unit"], Cell: m["cell"],
	}
	if shard, err := route.ParseShard(m["shard"], route.MaxShards); err == nil {
		r.Shard = shard
	}
	r.Since, _ = strconv.ParseUint(m["since"], 10, 64)
	return r
}

// badShard says what is wrong with the header's values.
func (m *owned) badShard(values []string) string {
	switch len(values) {
	case 0:
		return fmt.Sprintf("header %s is missing: must be one shard, 0 to %d", HeaderShard, len(m.index)-1)
	case 1:
		_, err := route.ParseShard(values[0], len(m.index))
		return fmt.Sprintf("header %s: %v", HeaderShard, err)
	}
	return fmt.Sprintf("header %s has %d values: must be one", HeaderShard, len(values))
}
