package access

// Remembered counts the access keys that are held in memory.
func (a *Authenticator) Remembered() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.known)
}
