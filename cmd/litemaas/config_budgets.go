package main

import (
	"strconv"

	"github.com/litemaas/litemaas/models"
)

type budgetsConfig struct {
	Thresholds         []int `mapstructure:"thresholds"`
	RaiseNeedsApproval bool  `mapstructure:"raise_needs_approval"`
}

// house are the thresholds of budgets that have none of their own.
func (c budgetsConfig) house() []models.BudgetThreshold {
	list, _ := models.HouseThresholds(c.Thresholds) // percents has seen to that
	return list
}

// percents are the thresholds of budgets.
var percents = kind{
	read: func(text string) (any, bool) {
		list, ok := readList(func(text string) (int, bool) {
			n, err := strconv.Atoi(text)
			return n, err == nil
		})(text)
		if !ok {
			return nil, false
		}
		of, _ := list.([]int)
		_, err := models.HouseThresholds(of)
		return of, err == nil
	},
	right: "different numbers from 1 to 1000, separated by commas", list: true,
}
