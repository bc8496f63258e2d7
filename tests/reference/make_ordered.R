# Reference values for ordinal regression, stratified ranks, survival, win ratios and randomization tests, computed with R and written
# beside this script:
#   ordered_data.csv    the data sets, one line for `count` patients; arm 0 or 1, outcome y, second outcome or event z, covariates x1 and x2,
#                       stratum from 0 (empty where a set has none)
#   ordered_values.csv  what the methods return, with 15 digits
# Run as: Rscript make_ordered.R   (R 4.2.2; MASS 7.3-58.2, ordinal 2022.11-16, survival 3.5-3, coin 1.4-2, pROC 1.18.0)

suppressPackageStartupMessages({
  library(MASS)
  library(ordinal)
  library(survival)
  library(coin)
  library(pROC)
})

columns <- function(data, arm, y, z = NA, x1 = NA, x2 = NA, stratum = NA, count = 1) {
  data.frame(data = data, arm = as.integer(arm), y = y, z = z, x1 = x1, x2 = x2, stratum = stratum, count = count)
}

cells <- as.data.frame(UCBAdmissions)
sets <- list(
  housing = with(housing, columns("housing", Cont == "High", as.integer(Sat), NA, as.integer(Infl), as.integer(Type == "Tower"), count = Freq)),
  ozone = with(na.omit(airquality), columns("ozone", Month >= 8, Ozone, NA, Wind, Solar.R)),
  tooth = with(ToothGrowth, columns("tooth", supp == "OJ", len, stratum = as.integer(factor(dose)) - 1)),
  karnofsky = with(veteran, columns("karnofsky", trt == 2, karno, stratum = as.integer(celltype) - 1)),
  lung = with(na.omit(lung[, c("time", "status", "sex", "age", "ph.ecog", "ph.karno")]),
              columns("lung", sex == 2, time, as.integer(status == 2), age, ph.karno, pmin(ph.ecog, 2))),
  veteran = with(veteran, columns("veteran", trt == 2, time, status, karno, age, as.integer(celltype) - 1)),
  visits = with(veteran, columns("visits", trt == 2, pmin(ceiling(time / 30), 8), as.integer(status & time <= 240), karno, age, as.integer(celltype) - 1)),
  ovarian = with(ovarian, columns("ovarian", rx == 2, futime, fustat, age, resid.ds)),
  admissions = with(cells, columns("admissions", Gender == "Female", as.integer(Admit == "Admitted"), stratum = as.integer(Dept) - 1,
                                   count = Freq)),
  sleep = with(sleep, columns("sleep", group == 2, extra))
)

values <- NULL
add <- function(data, method, tested, quantity, value) {
  values <<- rbind(values, data.frame(data, method, tested, quantity, value = sprintf("%.15g", value)))
}
expand <- function(name) sets[[name]][rep(seq_len(nrow(sets[[name]])), sets[[name]]$count), ]

add_ordinal <- function(name, terms = c("arm", "x1", "x2")) {
  data <- expand(name)
  tight <- clm.control(gradTol = 1e-10, maxIter = 1000, relTol = 1e-14)
  formula <- reformulate(terms, "ordered(y)")
  fit <- clm(formula, data = data, control = tight)
  for (k in seq_along(terms)) {
    null <- clm(if (length(terms) > 1) reformulate(terms[-k], "ordered(y)") else ordered(y) ~ 1, data = data, control = tight)
    add(name, "clm", k - 1, "estimate", coef(fit)[terms[k]])
    add(name, "clm", k - 1, "std_error", sqrt(vcov(fit)[terms[k], terms[k]]))
    add(name, "clm", k - 1, "likelihood_ratio", 2 * (fit$logLik - null$logLik))
  }
  if (name == "ozone") return(invisible())  # polr's numerical second derivative is rough with 67 categories
  rough <- polr(formula, data = data, Hess = TRUE, control = list(reltol = 1e-15, maxit = 1000))
  for (k in seq_along(terms)) {
    add(name, "polr", k - 1, "estimate", coef(rough)[terms[k]])
    add(name, "polr", k - 1, "std_error", sqrt(vcov(rough)[terms[k], terms[k]]))
  }
}

add_stratified_ranks <- function(name) {
  data <- transform(expand(name), block = factor(stratum), group = factor(arm, levels = c(1, 0)))
  for (method in c("van_elteren", "equal")) {
    scores <- function(y) if (method == "equal") rank(y) else rank(y) / (length(y) + 1)
    test <- independence_test(y ~ group | block, data = data, teststat = "scalar",
                              ytrafo = function(d) trafo(d, numeric_trafo = scores, block = data$block))
    add(name, method, 0, "z", statistic(test))
  }
}

add_survival <- function(name, week) {
  data <- sets[[name]]
  for (stratified in c(FALSE, if (!all(is.na(data$stratum))) TRUE)) {
    test <- survdiff(if (stratified) Surv(y, z) ~ arm + strata(stratum) else Surv(y, z) ~ arm, data = data)
    method <- if (stratified) "log_rank_stratified" else "log_rank"
    add(name, method, 0, "excess", sum(as.matrix(test$obs)[2, ]) - sum(as.matrix(test$exp)[2, ]))
    add(name, method, 0, "variance", test$var[2, 2])
  }
  tight <- coxph.control(eps = 1e-11, toler.chol = 1e-12, iter.max = 100)
  terms <- c("arm", "x1", "x2")
  for (ties in c("efron", "breslow")) {
    fit <- coxph(Surv(y, z) ~ arm + x1 + x2, data = data, ties = ties, control = tight)
    for (k in 1:3) {
      null <- coxph(reformulate(terms[-k], "Surv(y, z)"), data = data, ties = ties, control = tight)
      add(name, ties, k - 1, "estimate", coef(fit)[k])
      add(name, ties, k - 1, "std_error", sqrt(diag(vcov(fit)))[k])
      add(name, ties, k - 1, "likelihood_ratio", 2 * (fit$loglik[2] - null$loglik[2]))
    }
  }
  curves <- survfit(Surv(y, z) ~ arm, data = data)
  at <- summary(curves, times = week, extend = TRUE)
  table <- summary(curves, rmean = week)$table
  for (arm in 0:1) {
    add(name, "kaplan_meier", week, paste0("share_", arm), at$surv[arm + 1])
    add(name, "kaplan_meier", week, paste0("std_error_", arm), at$std.err[arm + 1])
    add(name, "restricted_mean", week, paste0("mean_", arm), table[arm + 1, "rmean"])
    add(name, "restricted_mean", week, paste0("std_error_", arm), table[arm + 1, "se(rmean)"])
  }
}

# The share of pairs won is the area under the curve of scores of which those of the active arm are lowered by a little more than the margin,
# and the share lost is 1 less that of scores that are raised: two curves on the same patients, with DeLong's covariance.
add_pairs <- function(name, data, score, margin) {
  lowered <- roc(data$arm, score - data$arm * (margin + 1e-6), direction = "<", quiet = TRUE)
  raised <- roc(data$arm, score + data$arm * (margin + 1e-6), direction = "<", quiet = TRUE)
  add(name, "pairs", margin, "wins", auc(lowered))
  add(name, "pairs", margin, "losses", 1 - auc(raised))
  add(name, "pairs", margin, "variance_of_wins", var(lowered, method = "delong"))
  add(name, "pairs", margin, "variance_of_losses", var(raised, method = "delong"))
  add(name, "pairs", margin, "covariance", -cov(lowered, raised, method = "delong"))
}

add_randomization <- function(name) {
  data <- transform(sets[[name]], group = factor(arm))
  add(name, "randomization", 0, "means", pvalue(oneway_test(y ~ group, data = data, distribution = exact(algorithm = "split-up"))))
  add(name, "randomization", 0, "ranks", pvalue(wilcox_test(y ~ group, data = data, distribution = exact(algorithm = "split-up"))))
}

add_ordinal("housing")
add_ordinal("ozone")
add_ordinal("karnofsky", "arm")
for (name in c("tooth", "karnofsky")) add_stratified_ranks(name)
add_survival("lung", 365)
add_survival("veteran", 180)
add_survival("visits", 6)
add_survival("ovarian", 500)
for (margin in c(0, 10)) add_pairs("karnofsky", sets$karnofsky, sets$karnofsky$y, margin)
add_pairs("ozone", sets$ozone, sets$ozone$y, 5)
first_week_then_karnofsky <- with(sets$visits, rank(y * 1000 + x1))  # by visit of death, then by the score at the start
add_pairs("visits", sets$visits, first_week_then_karnofsky, 0)
patients <- expand("admissions")
common <- with(patients, mantelhaen.test(table(y, arm, stratum)))
add("admissions", "mantel_haenszel", 0, "odds_ratio", common$estimate)
add_randomization("sleep")

write.csv(do.call(rbind, sets), "ordered_data.csv", row.names = FALSE, na = "", quote = FALSE)
write.csv(values, "ordered_values.csv", row.names = FALSE, quote = FALSE)
