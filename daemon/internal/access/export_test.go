package access

// Remembered counts the cached access keys.
func (a *Authenticator) Remembered() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.known)
}

// Remembered counts the addresses that have state.
func (t *Throttle) Remembered() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.clients)
}
