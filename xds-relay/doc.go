// Package relay puts one relay together: it subscribes to the intent and to every cluster's feeds, hears its own cluster's
// agent directly, renders what it knows into xDS resources and serves them to the data planes near it. Cut off from every
// server it goes on with its own agent's fresh endpoints and the last known good rest, also after a restart.
package relay
