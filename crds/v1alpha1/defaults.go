package v1alpha1

// Default fills what an operator may leave out. It is pure, and does nothing the second time.
func Default(object Object) {
	switch object := object.(type) {
	case *Center:
		DefaultCenter(object)
	case *Cluster:
		DefaultCluster(object)
	case *ServicePolicy:
		DefaultServicePolicy(object)
	}
}

// DefaultCenter makes a center Full.
func DefaultCenter(center *Center) {
	if center.Spec.Role == "" {
		center.Spec.Role = CenterFull
	}
}

// DefaultCluster makes a cluster one of VMs.
func DefaultCluster(cluster *Cluster) {
	if cluster.Spec.Type == "" {
		cluster.Spec.Type = ClusterVM
	}
}

// DefaultServicePolicy changes nothing: an absent failover or timeout is a choice, and stays visible as one.
func DefaultServicePolicy(*ServicePolicy) {}
