package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/identity"
)

// rawWriteTimeout is more patience than a server may need to refuse.
const rawWriteTimeout = 15 * time.Second

// rawWrite makes one attempt to create an object at one server, as kubectl would, without the client's repetitions. It
// returns the HTTP status and the message of the API's answer.
func (d *Drill) rawWrite(
	ctx context.Context,
	address string,
) (took time.Duration, status int, message string, err error) {
	source, err := identity.Load(d.site.Operator())
	if err != nil {
		return 0, 0, "", err
	}
	policy := writerPolicy("drill-refused", 1)
	policy.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ServicePolicy"}
	body, err := json.Marshal(policy)
	if err != nil {
		return 0, 0, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, rawWriteTimeout)
	defer cancel()
	url := "https://" + address + "/apis/" + v1alpha1.GroupVersion.String() + "/servicepolicies"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: source.Client(identity.RoleServer)}
	defer transport.CloseIdleConnections()
	begun := time.Now()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, 0, "", err
	}
	defer response.Body.Close()
	took = time.Since(begun)
	var answer metav1.Status
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return took, response.StatusCode, "", err
	}
	return took, response.StatusCode, answer.Message, nil
}
