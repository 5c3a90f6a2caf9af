package temporal

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// RegisterSearchAttributes gives the namespace the search attributes it lacks, and returns
// their names. A run that sets one the server does not know would be stuck.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	missing, err := MissingSearchAttributes(ctx, c, namespace)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	types := map[string]enums.IndexedValueType{}
	for _, name := range missing {
		types[name] = workflows.SearchAttributes()[name]
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: types})
	if err != nil && !errors.As(err, new(*serviceerror.AlreadyExists)) {
		return nil, models.Wrap(models.Unavailable, err, "register the search attributes %s in namespace %s", strings.Join(missing, ", "), namespace)
	}
	return missing, nil
}

// MissingSearchAttributes returns the search attributes that the namespace lacks.
func MissingSearchAttributes(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	there, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, models.Wrap(models.Unavailable, err, "list the search attributes of namespace %s", namespace)
	}
	missing := slices.DeleteFunc(slices.Sorted(maps.Keys(workflows.SearchAttributes())), func(name string) bool {
		_, ok := there.CustomAttributes[name]
		return ok
	})
	return missing, nil
}
