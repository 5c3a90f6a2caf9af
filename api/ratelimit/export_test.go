package ratelimit

// Len returns how many buckets are kept.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.resets)
}

// Key returns where a bucket is in Redis.
func Key(b Bucket) string { return b.key() }

// AnswerWithin and Pause are what the tests hold Redis to.
const (
	AnswerWithin = answerWithin
	Pause        = pause
)
