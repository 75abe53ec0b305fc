package webhook

import (
	"encoding/json"
	"errors"
	"net/http"

	"pentad.dev/pentad/unitization/fence"
)

// NewHandler serves a member: calls become those of the driver, whose context ends with the caller's patience.
func NewHandler(member fence.Driver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, http.StatusMethodNotAllowed, errors.New("only POST is understood"))
			return
		}
		var asked request
		if err := decode(r.Body, &asked); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		action, request, err := asked.request()
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		state, err := fence.Call(r.Context(), member, action, request)
		switch {
		case errors.Is(err, fence.ErrLowerToken):
			refuse(w, http.StatusConflict, err)
		case err != nil:
			refuse(w, http.StatusServiceUnavailable, err)
		default:
			write(w, http.StatusOK, answerOf(state))
		}
	})
}

func refuse(w http.ResponseWriter, status int, err error) { write(w, status, problem{err.Error()}) }

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller is gone, or asks again
}
