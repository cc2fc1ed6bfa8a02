/** What jobs made: Models, Artifacts, Deployments and Reports; and what the machine offers to make more. */
import { useQuery } from "@tanstack/react-query";
import { answer, api } from "./client";

export const shelfKeys = {
  models: ["models"] as const,
  artifacts: ["artifacts"] as const,
  deployments: ["deployments"] as const,
  reports: ["reports"] as const,
};

export function useModels() {
  return useQuery({ queryKey: shelfKeys.models, queryFn: () => answer(api.GET("/v1/models")) });
}

export function useArtifacts() {
  return useQuery({ queryKey: shelfKeys.artifacts, queryFn: () => answer(api.GET("/v1/artifacts")) });
}

export function useDeployments() {
  return useQuery({ queryKey: shelfKeys.deployments, queryFn: () => answer(api.GET("/v1/deployments")) });
}

export function useReports() {
  return useQuery({ queryKey: shelfKeys.reports, queryFn: () => answer(api.GET("/v1/reports")) });
}

const MINUTES_MS = 60_000;

export function useDevices() {
  return useQuery({
    queryKey: ["devices"],
    queryFn: () => answer(api.GET("/v1/devices")),
    staleTime: 5 * MINUTES_MS,
  });
}

export function useTrainingOptions() {
  return useQuery({
    queryKey: ["training-options"],
    queryFn: () => answer(api.GET("/v1/training-options")),
    staleTime: 5 * MINUTES_MS,
  });
}
