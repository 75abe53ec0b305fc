package client

import (
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// page is what one of the servers' own pages answers. The library takes the body of a refusal for text and drops it; the
// API server's own refusals, as of who may not see a page, are a Status in which all is said.
func page(body []byte, err error) ([]byte, error) {
	if err == nil {
		return body, nil
	}
	var said metav1.Status
	if json.Unmarshal(body, &said) == nil && said.Kind == "Status" && said.Status == metav1.StatusFailure && said.Message != "" {
		return nil, &apierrors.StatusError{ErrStatus: said}
	}
	return body, err
}
