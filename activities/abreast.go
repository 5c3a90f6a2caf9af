package activities

import "sync"

// atOnce is how many things of a batch LiteLLM is asked about at once.
const atOnce = 16

// abreast does something to each of a batch, a few at once, and returns when all are done.
func abreast[T any](batch []T, do func(T)) {
	next := make(chan T)
	var wg sync.WaitGroup
	for range min(atOnce, len(batch)) {
		wg.Go(func() {
			for one := range next {
				do(one)
			}
		})
	}
	for _, one := range batch {
		next <- one
	}
	close(next)
	wg.Wait()
}
