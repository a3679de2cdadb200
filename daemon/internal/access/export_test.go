package access

// Remembered counts the access keys that are held in memory.
func (a *Authenticator) Remembered() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.known)
}

// Remembered counts the addresses that are held in memory.
func (t *Throttle) Remembered() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.clients)
}
