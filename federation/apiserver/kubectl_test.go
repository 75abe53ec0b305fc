package apiserver

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const manifests = `
apiVersion: pentad.dev/v1alpha1
kind: Center
metadata: {name: hz-a}
spec: {region: hangzhou}
---
apiVersion: pentad.dev/v1alpha1
kind: Center
metadata: {name: sz-a}
spec: {region: shenzhen, role: Arbiter}
---
apiVersion: pentad.dev/v1alpha1
kind: Cluster
metadata: {name: hz-a-vm}
spec: {center: hz-a}
---
apiVersion: pentad.dev/v1alpha1
kind: ServicePolicy
metadata: {name: orders}
spec:
  service: orders
  failover: [{scope: Center}, {regions: [hangzhou, shenzhen]}, {scope: Any}]
  timeouts: {request: 2s, connect: 500ms}
`

// kubectl runs the real kubectl with a home of its own.
type kubectl struct {
	t    *testing.T
	home string
}

func newKubectl(t *testing.T, leader, follower *served) *kubectl {
	t.Helper()
	if path, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("there is no kubectl on this machine; the other tests speak the same protocol")
	} else if out, err := exec.Command(path, "version", "--client").CombinedOutput(); err != nil {
		t.Skipf("%s does not run here: %v\n%s", path, err, out)
	}
	encode := base64.StdEncoding.EncodeToString
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Config\ncurrent-context: admin\nclusters:\n")
	for name, s := range map[string]*served{"leader": leader, "follower": follower} {
		fmt.Fprintf(&b, "- {name: %s, cluster: {server: 'https://%s', certificate-authority-data: %s}}\n",
			name, s.address, encode(s.users.pem))
	}
	b.WriteString("users:\n")
	for name, group := range map[string]string{"admin": AdminGroup, "viewer": ViewerGroup} {
		cert, key := leader.users.issue(name, group)
		fmt.Fprintf(&b, "- {name: %s, user: {client-certificate-data: %s, client-key-data: %s}}\n",
			name, encode(cert), encode(key))
	}
	b.WriteString("contexts:\n")
	for name, of := range map[string]string{"admin": "leader", "viewer": "leader", "follower": "follower"} {
		user := name
		if name == "follower" {
			user = "admin"
		}
		fmt.Fprintf(&b, "- {name: %s, context: {cluster: %s, user: %s}}\n", name, of, user)
	}
	k := &kubectl{t: t, home: t.TempDir()}
	k.write("kubeconfig", b.String())
	return k
}

func (k *kubectl) write(name, content string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.home, name), []byte(content), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// out is what kubectl says.
func (k *kubectl) out(args string) string {
	k.t.Helper()
	content, err := k.command(args).Output()
	if err != nil {
		k.t.Fatalf("kubectl %s: %v", args, err)
	}
	return string(content)
}

func (k *kubectl) command(args string) *exec.Cmd {
	cmd := exec.CommandContext(k.t.Context(), "kubectl", strings.Fields(args)...)
	cmd.Dir = k.home
	cmd.Env = append(os.Environ(), "HOME="+k.home, "KUBECONFIG="+filepath.Join(k.home, "kubeconfig"),
		"KUBE_EDITOR=sed -i s/3s/4s/")
	return cmd
}

// run wants kubectl to end with a status, and its output to have all of the words.
func (k *kubectl) run(args string, status int, words ...string) {
	k.t.Helper()
	cmd := k.command(args)
	content, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		k.t.Fatalf("kubectl %s: %v", args, err)
	}
	out := strings.Join(strings.Fields(string(content)), " ")
	if got := cmd.ProcessState.ExitCode(); got != status {
		k.t.Errorf("kubectl %s: exit status %d, want %d:\n%s", args, got, status, content)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			k.t.Errorf("kubectl %s: want %q in\n%s", args, word, content)
		}
	}
	if strings.Contains(out, "WARNING: version difference") {
		k.t.Errorf("kubectl %s: %s", args, content)
	}
}

func TestKubectl(t *testing.T) {
	t.Parallel()
	a, e := newAuthority(t), newEstate(t, 2)
	e.prompt = true
	k := newKubectl(t, serve(t, a, e.members[0]), serve(t, a, e.members[1]))
	k.write("all.yaml", manifests)
	k.write("longer.yaml", strings.ReplaceAll(manifests, "request: 2s", "request: 3s"))

	k.run("version", 0, "+pentad.0.1.0")
	k.run("auth whoami", 0, "pentad:admins")
	k.run("--context viewer auth can-i delete centers", 1, "no")
	k.run("--context viewer auth can-i --list", 0, "*.pentad.dev", "[get list watch]")
	k.run("api-resources --api-group pentad.dev", 0, "centers ctr", "servicepolicies sp")

	k.run("--context follower apply -f all.yaml", 0,
		"center.pentad.dev/hz-a created", "servicepolicy.pentad.dev/orders created")
	k.run("get pentad", 0,
		"NAME REGION ROLE PHASE AGE center.pentad.dev/hz-a hangzhou Full Open",
		"NAME CENTER REGION TYPE EXPIRED AGE cluster.pentad.dev/hz-a-vm hz-a hangzhou VM False",
		"NAME SERVICE FAILOVER TIMEOUT AGE servicepolicy.pentad.dev/orders orders Center>region:hangzhou,shenzhen>Any 2s")
	k.run("get sp -o wide", 0, "CONNECT", "500ms")
	k.run("get ctr --field-selector spec.role=Arbiter -o name", 0, "center.pentad.dev/sz-a")
	k.run("get ctr --field-selector spec.roel=Arbiter", 1, "field label not supported: spec.roel")
	k.run("explain sp.spec.failover", 0, "scope is a place seen from the caller")
	k.run("describe center hz-a", 0, "Region: hangzhou")
	k.run("wait --for=jsonpath={.status.observedGeneration}=1 center/hz-a --timeout=60s", 0, "condition met")

	k.run("apply -f all.yaml", 0, "servicepolicy.pentad.dev/orders unchanged")
	k.run("diff -f longer.yaml", 1, "+ request: 3s")
	k.run("diff -f all.yaml", 0)
	k.run("apply --server-side -f all.yaml", 0, "serverside-applied")
	k.run("apply --server-side --field-manager other -f longer.yaml", 1, `conflict with "kubectl": .spec.timeouts.request`)
	k.run("apply --server-side --field-manager other --force-conflicts -f longer.yaml", 0)
	k.run("edit sp orders", 0, "edited")
	k.run("get sp orders -o jsonpath={.spec.timeouts.request}-{.metadata.generation}-{.status.observedGeneration}", 0,
		"4s-3-3")
	k.run("label center hz-a tier=1", 0, "labeled")
	k.run("annotate center hz-a a=b", 0, "annotated")
	k.run("get ctr -l tier=1 -o name", 0, "hz-a")
	k.run("patch center hz-a --type json -p [{\"op\":\"remove\",\"path\":\"/metadata/labels\"}]", 0, "patched")

	k.run("patch center hz-a --subresource status --type merge -p {\"status\":{}}", 1, "status is written by Pentad alone")
	k.run("get center hz-a --subresource status", 0, "hangzhou")
	k.run("delete center hz-a", 1, `cluster "hz-a-vm" is in this center`)
	k.run("delete sp,cluster,ctr --all", 0, `center.pentad.dev "hz-a" deleted`)
	k.run("get pentad", 0, "No resources found")
}

func TestKubectlIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	a, e := newAuthority(t), newEstate(t, 1)
	s := serve(t, a, e.members[0])
	k := newKubectl(t, s, s)
	object := func(name, kind, metadata, spec string) {
		k.write(name, "apiVersion: pentad.dev/v1alpha1\nkind: "+kind+"\nmetadata: {name: x"+metadata+"}\nspec: {"+spec+"}\n")
	}
	object("uid.yaml", "Center", ", uid: abc, generation: 7", "region: hangzhou")
	object("unknown.yaml", "Center", "", "region: hangzhou, roel: Full")
	object("bad.yaml", "Center", "", "region: Hang Zhou, role: Boss")
	object("nowhere.yaml", "Cluster", "", "center: nope")
	k.run("create -f uid.yaml", 1, `metadata.uid: Invalid value: "abc"`, "metadata.generation: Invalid value: 7")
	k.run("apply -f uid.yaml", 1, `metadata.uid: Invalid value: "abc"`, "metadata.generation: Invalid value: 7")
	k.run("apply --server-side -f uid.yaml", 1, `metadata.uid: Invalid value: "abc"`)
	k.run("apply -f unknown.yaml", 1, `unknown field "spec.roel"`)
	k.run("apply --server-side -f unknown.yaml", 1, ".spec.roel: field not declared in schema")
	k.run("apply -f bad.yaml", 1, `spec.region: Invalid value: "Hang Zhou"`, `spec.role: Unsupported value: "Boss"`)
	k.run("apply -f nowhere.yaml", 1, `spec.center: Not found: "nope": must be the name of a declared Center`)
	k.run("apply --dry-run=server -f nowhere.yaml", 1, `spec.center: Not found: "nope"`)
	k.run("--context viewer delete center x", 1, "everything else pentad:admins")
	k.run("get pentad", 0, "No resources found")

	e.set(func(e *estate) { e.refuse = ErrNoQuorum })
	k.run("get ctr", 1, "no consistent read (no quorum)",
		"kubectl get --raw '/apis/pentad.dev/v1alpha1/centers?resourceVersion=0'")
	k.run("get --raw /apis/pentad.dev/v1alpha1/centers?resourceVersion=0", 0, `"kind":"CenterList"`)
	object("good.yaml", "Center", "", "region: hangzhou")
	k.run("create -f good.yaml", 1, "nothing was written: no quorum")
}

func TestKubectlAndUnits(t *testing.T) {
	t.Parallel()
	a, e := newAuthority(t), newEstate(t, 2)
	e.prompt = true
	k := newKubectl(t, serve(t, a, e.members[0]), serve(t, a, e.members[1]))
	for _, name := range []string{"stores.yaml", "users.yaml", "evacuate-hangzhou.yaml"} {
		content, err := os.ReadFile(filepath.Join(examples, name))
		if err != nil {
			t.Fatal(err)
		}
		k.write(name, string(content))
	}
	var b strings.Builder
	for name, region := range map[string]string{
		"hz-a": "hangzhou", "hz-b": "hangzhou", "sh-a": "shanghai", "sh-b": "shanghai", "sz-a": "shenzhen",
	} {
		fmt.Fprintf(&b, "---\n{apiVersion: pentad.dev/v1alpha1, kind: Center, metadata: {name: %s}, spec: {region: %s}}\n",
			name, region)
		fmt.Fprintf(&b, "---\n{apiVersion: pentad.dev/v1alpha1, kind: Cluster, metadata: {name: %s-vm}, "+
			"spec: {center: %s}}\n", name, name)
	}
	k.write("places.yaml", b.String())

	k.run("apply -f users.yaml", 1,
		`spec.units[0].cells[0].center: Not found: "hz-a": must be the name of a declared Center`,
		`spec.units[0].store: Not found: "orders-rz01": must be the name of a declared Store`)
	k.run("apply -f places.yaml -f stores.yaml -f users.yaml", 0, "store.pentad.dev/orders-rz01 created",
		"unitization.pentad.dev/users created")
	k.run("api-resources --api-group pentad.dev", 0, "stores st", "unitizations uz", "switchovers so")
	k.run("get st orders-rz01", 0, "NAME PRIMARY STATE TOKEN REPLICATION SWITCHOVER AGE", "orders-rz01 hz-a Open")
	k.run("get uz", 0, "NAME SHARDS EPOCH UNITS FROZEN SWITCHOVER AGE", "users 100", "rz01,rz02,rz03,rz04 <none> <none>")
	k.run("get st --field-selector status.primary=sh-a -o name", 0, "store.pentad.dev/orders-rz03")
	k.run("apply -f evacuate-hangzhou.yaml", 0, "created")
	k.run("get so", 0, "NAME MODE PHASE MOVES PLAN MESSAGE AGE",
		"evacuate-hangzhou Planned Planned out of region hangzhou")
	k.run("get so --field-selector status.phase=Done -o name", 0)
	k.run("explain so.spec.evacuate", 0, "evacuate moves everything out of a region or a center")
	k.run("explain uz.spec.units.cells.standby", 0, "standby says that the cell is not active at the baseline")
	k.run("describe so evacuate-hangzhou", 0, "Plan Hash:", "To Cells: rz01.sh-a")

	hash := k.out("get so evacuate-hangzhou -o jsonpath={.status.planHash}")
	k.write("approval.json", `{"apiVersion":"pentad.dev/v1alpha1","kind":"SwitchoverApproval","planHash":"`+hash+`"}`)
	const approve = " create --raw /apis/pentad.dev/v1alpha1/switchovers/evacuate-hangzhou/approve -f approval.json"
	k.run("--context viewer"+approve, 1, "everything else pentad:admins")
	k.run("--context viewer auth can-i create switchovers/approve", 1, "no")
	k.run("--context follower"+approve, 0, `"approvedBy":"admin"`)
	k.run("get uz", 0, "evacuate-hangzhou")
	// kubectl itself replaces lists whose items have defaults, and says "configured"; nothing is written.
	const revisions = "get so,uz,st -o jsonpath={.items[*].metadata.resourceVersion}"
	before := k.out(revisions)
	k.run("apply -f stores.yaml -f users.yaml -f evacuate-hangzhou.yaml", 0, "evacuate-hangzhou unchanged")
	if after := k.out(revisions); after != before {
		t.Errorf("applied again: resourceVersions %s, want %s", after, before)
	}
	k.run("diff -f stores.yaml -f users.yaml -f evacuate-hangzhou.yaml", 0)
	k.run("apply --server-side --force-conflicts -f users.yaml", 0, "serverside-applied")
	k.run("patch so evacuate-hangzhou --type merge -p {\"spec\":{\"mode\":\"Drill\"}}", 1,
		`spec.mode: Invalid value: "Drill": must stay "Planned": make another Switchover`)
	k.run("delete so evacuate-hangzhou", 1, "is in phase Approved and holds locks")
	k.run("delete uz users", 1, `switchover "evacuate-hangzhou" moves its shards now`)
}
