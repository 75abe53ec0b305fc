// Package orders is what makes an agent obey: it follows Stores and StoreOrders in the intent, drives the members of
// its own cluster, and reports. See DESIGN.md.
package orders
